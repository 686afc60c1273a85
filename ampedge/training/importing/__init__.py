"""A network, a scaler and labels that other scripts made, as a bundle."""
