"""What the garbage collector leaves alone."""

import subprocess
import sys

CODE = """
import gc, weakref
from aez.daemon.common.memory import leave_alone

class Part:
    pass

def circle():
    part = Part()
    part.itself = part
    return weakref.ref(part)

gc.disable()
leave_alone()
frozen = gc.get_freeze_count()
assert frozen > 1000
one = circle()
leave_alone()
assert one() is None, "what is garbage by the second call is collected"
assert gc.get_freeze_count() > 1000
"""


def test_what_stands_is_left_alone_and_what_is_garbage_is_not():
    subprocess.run([sys.executable, "-c", CODE], check=True)
