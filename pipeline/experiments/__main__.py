"""`make experiments`: every experiment with its line."""

from pipeline import experiments

if __name__ == "__main__":
    for name in experiments.names():
        print(f"{name:34} {experiments.get(name).summary}")
