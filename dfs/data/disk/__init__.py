"""What lies on a data server's disk, file by file: strips, the redo journal, floors, the change log, and who the server is."""
