"""`simulate`: rows played into a slave, and whether the right labels come out."""
