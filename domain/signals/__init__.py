"""Signal handlers: one file a strategy; handler.py is the contract and the registry. Importing this fills it."""

from domain.signals import ema_cross as ema_cross
from domain.signals import m1_retest as m1_retest
from domain.signals import m5_bos_retest as m5_bos_retest
