"""What is wrong here and how to mend it: a file for each thing that can be."""
