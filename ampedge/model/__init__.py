"""The model and all that belongs to it: the bundle's format, its loader, its runtimes."""
