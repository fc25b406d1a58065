"""What a program needs of the machine: files, processes, signals, time. It knows no loss and no detector."""
