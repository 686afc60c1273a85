"""What finds one kind of trouble in the numbers of a column or of rows, by itself."""
