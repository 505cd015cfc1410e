"""Detectors of series: training, graph, bundle, the scikit-learn estimator."""
