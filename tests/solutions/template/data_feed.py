'''
Data feed: the dataset class that is given to the DataLoader
'''
import torch
from torch.utils.data import Dataset
import numpy as np
import scipy.io as sio


class DataFeed(Dataset):
    def __init__(self, root, trf, stats):
        self.root = root
        self.trf = trf
        self.mean = stats['mean'].reshape(3)
        self.std = stats['std'].reshape(3)
        data = sio.loadmat(self.root)
        self.img = data['img']
        self.cls = data['cls'].reshape(-1)

    def __len__(self):
        return self.img.shape[0]

    def __getitem__(self, idx):
        x = self.img[idx, :] / 255  # scale to [0,1]
        x = x.reshape(3, 32, 32)
        label = self.cls[idx]

        # Normalize every color channel
        if self.trf:
            x[0, :] = (x[0, :] - self.mean[0]) / self.std[0]
            x[1, :] = (x[1, :] - self.mean[1]) / self.std[1]
            x[2, :] = (x[2, :] - self.mean[2]) / self.std[2]

        x = torch.from_numpy(x.astype(np.float32))
        label = torch.tensor([int(label)], dtype=torch.int64)
        return [x, label]
