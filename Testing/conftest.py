"""Settings of all tests: one thread, as they are many small jobs and threads that wait for each other cost more."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start, too

import torch

torch.set_num_threads(1)
