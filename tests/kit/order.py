"""The order in which the files of tests begin."""

from __future__ import annotations

#: Files that take longest, the longest first: they begin first, so that none is left over for one process at the end.
LONG = (
    "docs/test_tutorials.py",
    "samples/test_recipes.py",
    "daemon/engine/test_layouts.py",
    "bench/autoencoders/test_sweeps.py",
    "aez/commands/test_train_series.py",
    "export/photo/test_train.py",
    "bench/monitor/test_loss.py",
    "codec/js/test_series.py",
    "export/photo/test_frozen.py",
    "aez/collection/test_kills.py",
    "export/series/test_conventions.py",
    "export/families/test_contract.py",
    "codec/js/test_decoder.py",
    "export/series/test_hostile.py",
    "export/series/test_graph.py",
    "export/series/test_memory.py",
    "aez/commands/test_autoencoders.py",
    "daemon/web/test_page_attention.py",
    "export/series/test_kinds.py",
    "export/series/test_train.py",
    "export/latent/test_train.py",
    "export/latent/test_network.py",
    "docs/test_site.py",
    "export/series/test_estimator.py",
    "aez/collection/test_command.py",
    "aez/commands/test_monitor.py",
    "daemon/test_delivery.py",
    "daemon/parse/test_agreement.py",
    "aez/commands/test_retrain.py",
    "codec/series/test_reader.py",
    "export/common/test_trainer.py",
    "codec/js/test_encoder.py",
)
