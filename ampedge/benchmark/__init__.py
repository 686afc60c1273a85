"""What each format and runtime costs on this machine, each measured in a process of its own."""
