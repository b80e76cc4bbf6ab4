from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from get_data import load

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class DataFeed(Dataset):
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

    def __init__(self, root, train, transform=None):
        self.data, self.targets = load(root, train)
        self.transform = transform

    def __getitem__(self, index):
        img = Image.fromarray(self.data[index])
        if self.transform:
            img = self.transform(img)
        return img, self.targets[index]

    def __len__(self):
        return len(self.data)


def loaders(root, batch_size, workers):
    train_tf = transforms.Compose([
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])
    test_tf = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    train = DataFeed(root, True, train_tf)
    test = DataFeed(root, False, test_tf)
    train_loader = DataLoader(train, batch_size=batch_size, shuffle=True, num_workers=workers, drop_last=True, pin_memory=False)
    test_loader = DataLoader(test, batch_size=2 * batch_size, shuffle=False, num_workers=workers)
    return train_loader, test_loader
