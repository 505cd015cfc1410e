"""`aez bench monitor`: the monitor measured as its own process, one module for each measurement.

Load generators and receivers are processes of their own as well, whose processor time is reported apart. The two
detectors in `models/` are made by `python -m aez.bench.monitor.train_models`.
"""
