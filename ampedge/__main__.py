"""`python -m ampedge` is the command line, for where the script is not on the path."""

from ampedge.cli.app import main

if __name__ == "__main__":
    main()
