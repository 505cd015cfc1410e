"""The photograph codec: network, training, bundle."""
