"""Convolutions with fewer multiplications, exact: Winograd's minimal filters, and Strassen's products around them."""
