'''
Supervised training
'''
import torch
import torch.nn as nn
import torch.optim as optimizer
import numpy as np
import time

from utils import trace


def sup_trn(net, trn_loader, val_loader, opt_dict):
    '''
    :param net: the network to be trained
    :param trn_loader: DataLoader of the training data
    :param val_loader: DataLoader of the validation data
    :param opt_dict: dictionary of the experiment options
    :return: the trained network and a dictionary with the training record
    '''
    if opt_dict['gpu']:
        print('Training on GPU ' + str(torch.cuda.current_device()))

    # Optimizer
    if opt_dict['solver'] == 'SGDM':
        opt = optimizer.SGD(net.parameters(), lr=opt_dict['lr'], momentum=opt_dict['momentum'], weight_decay=opt_dict['wd'])
    elif opt_dict['solver'] == 'Adam':
        opt = optimizer.Adam(net.parameters(), lr=opt_dict['lr'], weight_decay=opt_dict['wd'])
    else:
        raise ValueError('Solver not recognized!')
    scheduler = optimizer.lr_scheduler.MultiStepLR(opt, milestones=opt_dict['lr_sch'], gamma=opt_dict['lr_factor'])
    criterion = nn.CrossEntropyLoss()

    print('--------------------- Commence Training ---------------------')
    running_train_loss = []
    running_val_loss = []
    running_train_acc = []
    running_val_acc = []
    train_loss_itr = []
    val_loss_itr = []
    itr = 0
    itr_last = opt_dict['num_epochs'] * np.ceil(opt_dict['trn_size'] / opt_dict['tbs'])
    t_start = time.time()
    for epoch in range(opt_dict['num_epochs']):
        net.train()
        for idx, (X, label) in enumerate(trn_loader):
            itr += 1
            trace('batch', X.numpy(), label.numpy())
            X = X.cuda() if opt_dict['gpu'] else X
            label = label.cuda().view(-1) if opt_dict['gpu'] else label.view(-1)

            opt.zero_grad()
            pred = net.forward(X)
            train_loss = criterion(pred, label)
            train_loss.backward()
            opt.step()

            pred_cls = pred.argmax(dim=-1)
            train_acc = (pred_cls == label).sum().type(torch.float32) / label.shape[0]

            if np.mod(itr, opt_dict['coll_cycle']) == 0 or itr == 1:
                running_train_loss.append(train_loss.item())
                running_train_acc.append(train_acc.item())
                train_loss_itr.append(itr)
            if np.mod(itr, opt_dict['display_freq']) == 0 or itr == 1:
                print('Epoch No. {0}--Iteration No. {1}-- Mini-batch loss = {2:10.9f} and accuracy {3:8.7f}'.format(
                    epoch + 1, itr, train_loss.item(), train_acc.item()))

            # Validation
            if np.mod(itr, opt_dict['val_cycle']) == 0 or itr == itr_last:
                print('Validating...')
                with torch.no_grad():
                    net.eval()
                    val_loss = 0
                    val_acc = 0
                    for idx_val, (X, label) in enumerate(val_loader):
                        X = X.cuda() if opt_dict['gpu'] else X
                        label = label.cuda().view(-1) if opt_dict['gpu'] else label.view(-1)
                        pred = net.forward(X)
                        val_loss += criterion(pred, label).item() * label.shape[0]
                        val_acc += (pred.argmax(dim=-1) == label).sum().type(torch.float32)
                    val_loss = val_loss / opt_dict['val_size']
                    val_acc = val_acc / opt_dict['val_size']
                    running_val_loss.append(val_loss)
                    running_val_acc.append(val_acc.item())
                    val_loss_itr.append(itr)
                    print('Epoch {0:}--Validation loss {1:10.9f} and accuracy {2:6.5f}'.format(
                        epoch + 1, val_loss, val_acc))
                net.train()

        current_lr = scheduler.get_last_lr()[-1]
        scheduler.step()
        new_lr = scheduler.get_last_lr()[-1]
        if current_lr != new_lr:
            print('Learning rate reduced to {0:5.4f}'.format(new_lr))

    duration = (time.time() - t_start) / 60
    trn_info = {'trn_loss': np.array(running_train_loss),
                'val_loss': np.array(running_val_loss),
                'trn_acc': np.array(running_train_acc),
                'val_acc': np.array(running_val_acc),
                'trn_itr': np.array(train_loss_itr),
                'val_itr': np.array(val_loss_itr),
                'trn_duration': duration}
    return [net, trn_info]
