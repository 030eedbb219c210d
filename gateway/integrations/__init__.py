"""What other programs find of the gateway without having been told: so far, Home Assistant."""
