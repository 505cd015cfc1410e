"""The monitor: a process that scores streams with a detector and reports events.

This package holds nothing yet. It imports from `aez.codec` and never from `aez.export` or torch.
"""
