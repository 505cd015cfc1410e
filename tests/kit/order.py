"""The order in which the files of tests begin."""

from __future__ import annotations

#: Files that take longest, the longest first: they begin first, so that none is left over for one process at the end.
LONG = (
    "samples/test_recipes.py",
    "export/photo/test_train.py",
    "export/photo/test_frozen.py",
    "aez/commands/test_train_series.py",
    "bench/monitor/test_loss.py",
    "export/latent/test_train.py",
    "export/families/test_contract.py",
    "codec/image/test_fuzz.py",
    "export/photo/test_bundle.py",
    "export/series/test_train.py",
    "daemon/web/test_page.py",
    "export/photo/test_graphs.py",
    "aez/commands/test_monitor.py",
    "daemon/service/test_monitor.py",
    "export/latent/test_network.py",
    "daemon/test_delivery.py",
    "export/series/test_estimator.py",
    "bench/monitor/test_run.py",
    "daemon/sources/test_contract.py",
    "export/images/test_train.py",
    "daemon/sources/test_loss.py",
    "aez/commands/test_monitor_beside.py",
    "export/series/test_graph.py",
    "daemon/state/test_store.py",
    "bench/detect/test_run.py",
    "aez/commands/test_images.py",
    "aez/commands/test_score.py",
    "daemon/test_bad_input.py",
    "daemon/frames/test_monitor.py",
)
