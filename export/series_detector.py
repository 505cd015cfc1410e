"""Where pickles of aez 0.1 and before look for `SeriesDetector`: a sentence for whoever loads one, and nothing else."""

from aez.codec.errors import VersionError

raise VersionError(
    "this pickle of a SeriesDetector was made by an older aez; load it there, call save('detector.aezm') on it, and "
    "SeriesDetector.load('detector.aezm') here"
)
