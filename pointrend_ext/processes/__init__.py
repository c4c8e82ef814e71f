"""What several processes of one run need of each other beside torch.distributed's collectives.

All of it goes through the key-value store of the process group, which answers as long as its host
does, and in which nobody has to wait for anybody. With one process there is nothing to do.
"""

from pointrend_ext.processes.failures import LostProcess, explain, note_failure, say_once
from pointrend_ext.processes.store import enter_group, fresh_store
from pointrend_ext.processes.waiting import (
    first_on_machine,
    once_per_machine,
    told_by_first,
    wait_for_all,
)

__all__ = [
    "LostProcess",
    "enter_group",
    "explain",
    "first_on_machine",
    "fresh_store",
    "note_failure",
    "once_per_machine",
    "say_once",
    "told_by_first",
    "wait_for_all",
]
