"""The main module of a process that multiprocessing starts for a script under `python -m cnn`: the script again, under
the name that multiprocessing gives it, with torch's names taken by cnn.
"""

import os

from cnn.__main__ import SCRIPT, code_of, prepare

__file__ = os.environ[SCRIPT]
prepare(__file__)
exec(code_of(__file__))
