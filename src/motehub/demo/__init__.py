"""A hub to look at: in a folder that goes away, with simulated devices of every dialect."""
