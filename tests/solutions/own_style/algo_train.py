import torch
import torch.nn.functional as F

from utils import AverageMeter, accuracy, trace


def train_epoch(net, loader, optimizer, device, step, log_every=1):
    net.train()
    losses, accs = AverageMeter(), AverageMeter()
    for images, labels in loader:
        trace("batch", images, labels)
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        output = net(images)
        loss = F.cross_entropy(output, labels)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        step += 1
        losses.update(loss.item(), images.size(0))
        accs.update(accuracy(output, labels), images.size(0))
        if step % log_every == 0:
            print(f"step {step} loss {loss.item():.9f} acc {accs.avg:.2f}%")
    return step, losses.avg, accs.avg


@torch.no_grad()
def evaluate(net, loader, device):
    net.eval()
    total, correct, loss_sum = 0, 0, 0.0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        output = net(images)
        loss_sum += F.cross_entropy(output, labels, reduction="sum").item()
        _, predicted = torch.max(output.data, 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()
    return loss_sum / total, 100 * correct / total


def sup_trn(net, train_loader, test_loader, args, device):
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)
    best, step, history = 0.0, 0, []
    for epoch in range(args.epochs):
        step, train_loss, train_acc = train_epoch(net, train_loader, optimizer, device, step, args.log_every)
        val_loss, val_acc = evaluate(net, test_loader, device)
        print(f"epoch {epoch + 1} lr {optimizer.param_groups[0]['lr']:.6f} train {train_loss:.6f} {train_acc:.2f}% "
              f"val {val_loss:.6f} {val_acc:.2f}%")
        history.append((train_loss, train_acc, val_loss, val_acc))
        if val_acc >= best:
            best = val_acc
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch, "acc": val_acc}
            torch.save(state, args.checkpoint)
        scheduler.step()
    return history
