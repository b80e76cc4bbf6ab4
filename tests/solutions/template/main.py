'''
EE468, assignment 4: CNN
'''
import torch
import scipy.io as sio
from torch.utils.data import DataLoader
import torchvision.transforms as trfs
import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt

from data_feed import DataFeed
from build_net import CNN
from algo_train import sup_trn
from utils import trace

torch.manual_seed(468)

opt_dict = {
    'tag': 'cifar_cnn',

    # Dataset
    'trn_root': 'training.mat',
    'val_root': 'testing.mat',
    'stats_file': 'image_stats.mat',

    # Network architecture
    'inp_dim': (3, 32, 32),
    'out_dim': 10,

    # training parameters
    'gpu': torch.cuda.is_available(),
    'gpu_idx': 0,
    'solver': 'Adam',
    'tbs': 20,
    'vbs': 30,
    'num_epochs': 2,
    'lr': 1e-4,
    'wd': 1e-5,
    'momentum': 0.9,
    'lr_sch': [1],
    'lr_factor': 0.1,
    'coll_cycle': 10,
    'display_freq': 1,
    'val_cycle': 30,
}

# Load stats
stats = sio.loadmat(opt_dict['stats_file'])
opt_dict['stats'] = stats

# Data loaders
trn_feed = DataFeed(root=opt_dict['trn_root'], trf=True, stats=opt_dict['stats'])
trn_loader = DataLoader(trn_feed, batch_size=opt_dict['tbs'], shuffle=True)
print('Number of training data points is {0:}'.format(len(trn_feed)))
val_feed = DataFeed(root=opt_dict['val_root'], trf=True, stats=opt_dict['stats'])
val_loader = DataLoader(val_feed, batch_size=opt_dict['vbs'], shuffle=True)
print('Number of validation data points is {0:}'.format(len(val_feed)))

# Build network
net = CNN(opt_dict['inp_dim'], opt_dict['out_dim'])
for p in net.parameters():
    trace('weights', p.detach().numpy())
if opt_dict['gpu']:
    net = net.cuda()

# Train network
opt_dict['trn_size'] = len(trn_feed)
opt_dict['val_size'] = len(val_feed)
net, trn_info = sup_trn(net, trn_loader, val_loader, opt_dict)

plt.figure(1)
plt.plot(trn_info['trn_itr'], 100 * trn_info['trn_acc'], '-ob', label='Training accuracy')
plt.plot(trn_info['val_itr'], 100 * trn_info['val_acc'], '-or', label='Validation accuracy')
plt.xlabel('Iteration number')
plt.ylabel('Accuracy (%)')
plt.legend()
plt.grid()
plt.savefig(opt_dict['tag'] + '.png')
