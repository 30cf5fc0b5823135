"""Reading everything that is stored, comparing it with the neighbours' copies, and replacing what must give way."""
