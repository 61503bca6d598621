"""A certificate: a gradient flow beside the bounds of Theorem 4.1."""

import sys

import asymfast as af
from asymfast import theory

X, y = af.datasets.simulated(n=50, d=20, rng=0)
net = af.Network.init(d=20, m=1000, gamma=0.5, alpha=0.7, activation="tanh", rng=1)
times = [0, 1, 3, 10, 30, 100, 300, 1000]
record = af.Record(times=times, ntg_change_2norm=True)
run = af.gradient_flow(net, X, y, t_end=1000.0, record=record)
certificate = theory.certify(run, X, y, delta=0.1)

figure = certificate.figure()
figure.set_size_inches(6.4, 4.4)
figure.savefig(sys.argv[1], dpi=80)
print("applies:", certificate.applies, " holds:", certificate.holds)
