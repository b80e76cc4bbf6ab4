'''
Reads the five training batches and the test batch of CIFAR-10 (Python version) and saves them as two .mat files.
The folder cifar-10-batches-py must be in the same folder as this script.
'''
import os
import pickle
import numpy as np
import scipy.io as sio

src_root = 'cifar-10-batches-py'


def read_batch(name):
    with open(os.path.join(src_root, name), 'rb') as fo:
        d = pickle.load(fo, encoding='bytes')
    return d[b'data'].astype(np.float32), np.array(d[b'labels'], dtype=np.float32)


# training data: go through the batches in order (os.listdir gives them in any order)
x_list = []
t_list = []
for i in range(1, 6):
    x, t = read_batch('data_batch_' + str(i))
    x_list.append(x)
    t_list.append(t)
x = np.concatenate(x_list)
t = np.concatenate(t_list)
sio.savemat('training.mat', {'img': x, 'cls': t})
print('Training data: {0:}'.format(x.shape))

# testing data
x, t = read_batch('test_batch')
sio.savemat('testing.mat', {'img': x, 'cls': t})
print('Testing data: {0:}'.format(x.shape))
