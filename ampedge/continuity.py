"""What only the readings before can tell: whether a value is frozen, has jumped, or the device has just come back."""
