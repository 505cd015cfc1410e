"""pyarrow imports pandas where it can, at the first array that it makes or gives away: a third of a second."""

import subprocess
import sys

CODE = """
import sys, time
import numpy as np, pyarrow as pa
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk
from aez.daemon.parse.formats import parser
from aez.daemon.parse.options import Options

def rows(form, data, **options):
    options = Options(**options)
    samples, malformed = parser(form, options, Limits()).parse_many([Chunk("s", data, form, {}, time.monotonic())])
    assert not malformed and sum(map(len, samples)) == 20, (form, samples, malformed)

rows("json", b"".join(b'{"time":%d,"stream":"a","x":1.5}\\n' % (10**18 + n) for n in range(20)), stream="stream")
rows("line", b"".join(b"m,host=a x=1.5,y=3i %d\\n" % (10**18 + n) for n in range(20)), stream="{host}")
rows("csv", b"time,x\\n" + b"".join(b"2026-01-01T00:00:%02dZ,2.5\\n" % n for n in range(20)))
number = pa.Array.from_buffers(pa.int64(), 20, [None, pa.py_buffer(10**18 + np.arange(20))])
batch = pa.record_batch([number, number.cast(pa.float64(), safe=False)], ["time", "x"])
sink = pa.BufferOutputStream()
with pa.ipc.new_stream(sink, batch.schema) as writer:
    writer.write_batch(batch)
rows("arrow", sink.getvalue().to_pybytes())
assert "pandas" not in sys.modules
"""


def test_no_row_waits_for_pandas():
    subprocess.run([sys.executable, "-c", CODE], check=True)
