"""What `monitor` knows: the board that messages are put on, and the loop that reads them."""
