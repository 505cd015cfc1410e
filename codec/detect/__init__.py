"""Detectors of anomalies in series and pictures: scores, events, thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.codec.detect.adaptive import AdaptiveScore, adapt, alarm_levels
    from aez.codec.detect.detector import Detector, SeriesScores, WindowScores, load_detector
    from aez.codec.detect.events import Event, EventRule, EventTracker, EventUpdate, find_events, severity_of
    from aez.codec.detect.pictures import PictureDetector, PictureScores, load_picture_detector
    from aez.codec.detect.rhythm.seasons import SeasonInputs, Seasons, SeasonStream
    from aez.codec.detect.scaling import Scale, StreamScales, learned_scale
    from aez.codec.detect.score_pictures import ScoredPicture, score_picture
    from aez.codec.detect.score_series import (
        Reading,
        ScoredBatch,
        ScoredSeries,
        describe_event,
        score_file,
        score_streams,
    )
    from aez.codec.detect.thresholds import (
        LabelledThreshold,
        StreamingPeaksOverThreshold,
        alarm_budget,
        best_f1,
        peaks_over_threshold,
        percentile,
        share_limit,
    )

__all__ = [
    "AdaptiveScore",
    "Detector",
    "Event",
    "EventRule",
    "EventTracker",
    "EventUpdate",
    "LabelledThreshold",
    "PictureDetector",
    "PictureScores",
    "Reading",
    "Scale",
    "ScoredBatch",
    "ScoredPicture",
    "ScoredSeries",
    "SeasonInputs",
    "SeasonStream",
    "Seasons",
    "SeriesScores",
    "StreamScales",
    "StreamingPeaksOverThreshold",
    "WindowScores",
    "adapt",
    "alarm_budget",
    "alarm_levels",
    "best_f1",
    "describe_event",
    "find_events",
    "learned_scale",
    "load_detector",
    "load_picture_detector",
    "peaks_over_threshold",
    "percentile",
    "score_file",
    "score_picture",
    "score_streams",
    "severity_of",
    "share_limit",
]

__getattr__ = lazily(
    __name__,
    {
        "aez.codec.detect.adaptive": "AdaptiveScore adapt alarm_levels",
        "aez.codec.detect.detector": "Detector SeriesScores WindowScores load_detector",
        "aez.codec.detect.events": "EventRule severity_of Event EventUpdate EventTracker find_events",
        "aez.codec.detect.pictures": "PictureDetector PictureScores load_picture_detector",
        "aez.codec.detect.scaling": "Scale StreamScales learned_scale",
        "aez.codec.detect.rhythm.seasons": "SeasonInputs SeasonStream Seasons",
        "aez.codec.detect.score_pictures": "ScoredPicture score_picture",
        "aez.codec.detect.score_series": "Reading ScoredSeries ScoredBatch describe_event score_file score_streams",
        "aez.codec.detect.thresholds": (
            "LabelledThreshold StreamingPeaksOverThreshold alarm_budget best_f1 peaks_over_threshold percentile "
            "share_limit"
        ),
    },
)
