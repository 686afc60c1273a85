"""The bundle in other formats, each loaded again and compared before it is kept."""
