"""DML-CSR (Zheng et al. 2022): its loss, self-regulation, and the edges that only training knows."""
