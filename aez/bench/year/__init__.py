"""`aez bench monitor year`: a monitor on a simulated year of machines, its events held against what was put in."""
