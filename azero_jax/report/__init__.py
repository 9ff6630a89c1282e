"""The page report.html: one run, or several side by side, for people to look at.

Everything on the page comes from the files of output directories, so that a run writes
the same page about itself as `azero report` does later. `page` puts it together.
"""

from azero_jax.report.page import compare_runs, write_report
from azero_jax.report.picture import write_picture

__all__ = ["compare_runs", "write_picture", "write_report"]
