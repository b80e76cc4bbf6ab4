'''
Utility functions
'''
import hashlib
import os
import numpy as np
import scipy.io as sio


def cal_stats(imgs):
    '''
    Mean and standard deviation of every color channel
    :param imgs: images, (# of images, color, height, width), values in [0,1]
    :return: dictionary with mean and std vectors
    '''
    m = np.zeros((3,))
    std = np.zeros((3,))
    for c in range(3):
        m[c] = imgs[:, c, :, :].mean()
        std[c] = imgs[:, c, :, :].std()
    return {'mean': m, 'std': std}


def trace(what, *arrays):
    '''
    Debugging help: with TRACE set in the environment, print a fingerprint of the arrays
    '''
    if os.environ.get('TRACE'):
        h = hashlib.sha256()
        for a in arrays:
            h.update(np.ascontiguousarray(a).tobytes())
        print('TRACE', what, h.hexdigest()[:16])


if __name__ == '__main__':
    imgs = sio.loadmat('training.mat')['img'] / 255
    imgs = imgs.reshape(-1, 3, 32, 32)
    stats = cal_stats(imgs)
    print('Mean: {0:}, std: {1:}'.format(stats['mean'], stats['std']))
    sio.savemat('image_stats.mat', stats)
