"""The data plane of the local load balancers: HAProxy, driven from the ELBv2 state, as AWS runs an ALB's nodes.

`elbv2` is what moto's ELBv2 lacks (real target health, draining); `reader` makes the `model` of its snapshot;
`plan` decides which target gets traffic; `config` writes HAProxy's configuration; `health` probes; `haproxy` is the
border to the process; `status` is what people and tests read; `driver` ties them together. All but `haproxy`, the
probe and the driver are pure.
"""
