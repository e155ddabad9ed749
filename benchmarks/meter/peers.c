/* Calls of the driver that other tools make and Joulemark does not: linked with tests/simulated/nvml.c. */
int nvmlInitWithFlags(unsigned flags);

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlInit(void) { return nvmlInitWithFlags(0); }
