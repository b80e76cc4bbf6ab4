"""DistributedSampler: one process's share of a data set. See torch.utils.data.distributed.DistributedSampler."""

import math

import cnn
from cnn.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler):
    """Every `num_replicas`-th index from `rank` on, in an order that all processes draw alike from `seed` and epoch.

    Without `drop_last` the order begins again at its end, so that every process has as many. `num_replicas` and `rank`
    are those of torch.distributed, which is always one process here, unless they are given.
    """

    def __init__(self, dataset, num_replicas=None, rank=None, shuffle=True, seed=0, drop_last=False):
        num_replicas = cnn.distributed.get_world_size() if num_replicas is None else num_replicas
        rank = cnn.distributed.get_rank() if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        size = len(dataset)
        self.num_samples = max(size // num_replicas, 0) if drop_last else math.ceil(size / num_replicas)
        if drop_last and size % num_replicas:
            self.num_samples = math.ceil((size - num_replicas) / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self):
        indices = list(range(len(self.dataset)))
        if self.shuffle:
            generator = cnn.Generator().manual_seed(self.seed + self.epoch)
            indices = cnn.randperm(len(indices), generator=generator).tolist()
        if not self.drop_last and indices:
            indices = (indices * math.ceil(self.total_size / len(indices)))[: self.total_size]
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self):
        return self.num_samples

    def set_epoch(self, epoch):
        """The epoch that the next order is drawn for; without it each epoch has the same."""
        self.epoch = epoch
