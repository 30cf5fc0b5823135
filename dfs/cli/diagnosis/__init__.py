"""What `dfsctl diagnose` knows: observations from three sources, small pure rules over them, and findings ranked by harm."""
