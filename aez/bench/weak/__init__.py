"""Where codecs on pictures lose: the kinds of pictures that transform codecs find hardest."""
