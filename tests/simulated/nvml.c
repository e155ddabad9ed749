/* A libnvidia-ml.so.1 with a known truth. Only what Joulemark asks for.
 *
 * GPU i draws P_i(t) = power_i + swing * sin(2 pi t / period) watts, t seconds after the origin; its energy is the
 * integral of that in closed form. The counter shows it in millijoules, renewed every 100 ms. The gauge (field 186)
 * shows P_i(t) in milliwatts, or, with FAKE_NVML_GAUGE_S, the mean of P_i over a window before its last update; field
 * 185 is the mean over the last second. Time is CLOCK_MONOTONIC until fake_nvml_set_now_ns() sets it.
 *
 * Read from the environment by nvmlInitWithFlags:
 *   FAKE_NVML_POWER_W    watts of each GPU, such as "100,200"; unset: the driver is not loaded; empty: no GPU
 *   FAKE_NVML_SWING_W    watts, 0 without it          FAKE_NVML_PERIOD_S   seconds, 1 without it
 *   FAKE_NVML_ORIGIN_NS  CLOCK_MONOTONIC at which the counters stood at 0, 0 without it
 *   FAKE_NVML_GAUGE_S    update period and window of the gauge, such as "0.1,0.025"
 *   FAKE_NVML_CHIP       compute capability, such as "9.0"; 8.6 (an Ampere) without it
 *   FAKE_NVML_NAME       the name of every GPU; with its power without it
 *   FAKE_NVML_LIMIT_W    enforced and highest power limit, such as "400,500"; not supported without it
 *   FAKE_NVML_MEMORY_W   power of the memory scope    FAKE_NVML_MODULE_W   power of the module scope
 *   FAKE_NVML_BUSY_PERCENT  utilisation of every GPU; not supported without it
 *   FAKE_NVML_PROCESSES  SM utilisation in percent, "pid:gpu:percent@seconds" with spaces between
 *   FAKE_NVML_FAULTS     words, each of all GPUs or, with "=I", of GPU I, for ever or, with "@S" or "@S-T", from S
 *                        seconds on (until T): "denied" (no permission), "no-counter", "no-fields", "no-instant",
 *                        "no-power" (not supported), "no-shares" (no permission), "no-wait" (no sample of processes),
 *                        "stale" (samples of before, too), "zero" (0 W), "busy" (the counter times out), "mig" (MIG
 *                        mode), "same" (scopes ignored), "lost" (GPU is lost), "reset=I@S" (the counter of GPU I falls
 *                        to 0 at S seconds),
 *                        "hang=I@S" (readings do not return), "withdrawn=I@S" (no permission any more);
 *                        "slow=MS" (readings take MS milliseconds), "init=CODE" (nvmlInit fails)
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4,
       NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15,
       VERSION_MISMATCH = 18 };
enum { MOST_GPUS = 16, MOST_PROCESSES = 32, UPDATE_NS = 100000000 };
enum { POWER_AVERAGE = 185, POWER_INSTANT = 186, SCOPE_GPU = 0, SCOPE_MODULE = 1, SCOPE_MEMORY = 2 };

typedef struct { double power_w; int index; int instance; } Gpu;
typedef struct { unsigned id, scope; int64_t time_us, latency_us; int type, result; uint64_t value; } Field;
typedef struct { unsigned pid; uint64_t time_us; unsigned sm, memory, encoder, decoder; } Process;

static Gpu gpus[MOST_GPUS], instances[MOST_GPUS];
static unsigned count;
static int initialised;
static double swing_w, period_s, gauge_period_s, gauge_window_s;
static int64_t origin_ns;
static char faults[512];
static volatile int64_t set_ns = -1;

void fake_nvml_set_now_ns(int64_t now_ns) { set_ns = now_ns; }

static int64_t since_origin_ns(void) {
    struct timespec now;
    if (set_ns >= 0) return set_ns - origin_ns;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - origin_ns;
}

static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text ? strtod(text, NULL) : otherwise;
}

/* Whether a fault is set for a GPU and has begun; where it has, when it began. */
static int struck(const char *kind, int gpu, double now_s, double *start_s) {
    char text[sizeof faults], *word, *rest = text;
    strcpy(text, faults);
    while ((word = strtok_r(rest, " ", &rest))) {
        char name[32];
        int which = gpu;
        double from = -INFINITY, until = INFINITY;
        if (sscanf(word, "%31[a-z-]%*[=]%d@%lf-%lf", name, &which, &from, &until) < 1) continue;
        if (!strcmp(name, kind) && which == gpu && from <= now_s && now_s < until) {
            if (start_s) *start_s = from;
            return 1;
        }
    }
    return 0;
}

static double energy_j(const Gpu *gpu, double t) {
    double turn = 2 * M_PI / period_s;
    return gpu->power_w * t + swing_w / turn * (1 - cos(turn * t));
}

static double power_w(const Gpu *gpu, double t) { return gpu->power_w + swing_w * sin(2 * M_PI / period_s * t); }

static double mean_w(const Gpu *gpu, double until_s, double over_s) {
    return (energy_j(gpu, until_s) - energy_j(gpu, until_s - over_s)) / over_s;
}

static int has(const char *kind, const Gpu *gpu) {
    return struck(kind, gpu->index, since_origin_ns() / 1e9, NULL);
}

static int state(const Gpu *gpu) {
    if (!initialised) return UNINITIALIZED;
    if (has("withdrawn", gpu)) return NO_PERMISSION;
    return has("lost", gpu) ? GPU_IS_LOST : SUCCESS;
}

static void wait_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* The state of a GPU at a reading, which may take its time. */
static int answer(const Gpu *gpu) {
    const char *slow = strstr(faults, "slow=");
    if (slow) wait_ms(strtol(slow + 5, NULL, 10));
    while (has("hang", gpu)) wait_ms(5);
    return state(gpu);
}

static int give(const char *text, char *to, unsigned size) {
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) {
    const char *powers = getenv("FAKE_NVML_POWER_W"), *words = getenv("FAKE_NVML_FAULTS");
    const char *origin = getenv("FAKE_NVML_ORIGIN_NS");
    (void)flags;
    const char *init;
    if (!powers) return DRIVER_NOT_LOADED;
    snprintf(faults, sizeof faults, "%s", words ? words : "");
    if ((init = strstr(faults, "init="))) return (int)strtol(init + 5, NULL, 10);
    gauge_period_s = gauge_window_s = 0;
    if (getenv("FAKE_NVML_GAUGE_S")) sscanf(getenv("FAKE_NVML_GAUGE_S"), "%lf,%lf", &gauge_period_s, &gauge_window_s);
    swing_w = number("FAKE_NVML_SWING_W", 0);
    period_s = number("FAKE_NVML_PERIOD_S", 1);
    origin_ns = origin ? strtoll(origin, NULL, 10) : 0;
    for (count = 0; *powers && count < MOST_GPUS; count++) {
        char *end;
        gpus[count] = (Gpu){strtod(powers, &end), (int)count, 0};
        instances[count] = (Gpu){0, (int)count, 1};
        powers = *end ? end + 1 : end;
    }
    initialised = 1;
    return SUCCESS;
}

int nvmlShutdown(void) {
    if (!initialised) return UNINITIALIZED;
    initialised = 0;
    return SUCCESS;
}

const char *nvmlErrorString(int result) {
    switch (result) {
    case SUCCESS: return "The operation was successful";
    case UNINITIALIZED: return "Uninitialized";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    case VERSION_MISMATCH: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *to, unsigned size) { return give("580.65-simulated", to, size); }

int nvmlDeviceGetCount_v2(unsigned *to) {
    if (!initialised) return UNINITIALIZED;
    *to = count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **to) {
    if (!initialised) return UNINITIALIZED;
    if (index >= count) return INVALID_ARGUMENT;
    if (struck("denied", (int)index, since_origin_ns() / 1e9, NULL)) return NO_PERMISSION;
    *to = &gpus[index];
    return state(*to);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Gpu **to) {
    unsigned start;
    if (!initialised) return UNINITIALIZED;
    if (sscanf(uuid, "MIG-%8x", &start) == 1 && (start >> 24) - 0xb0 < count && strlen(uuid) == 40) {
        *to = &instances[(start >> 24) - 0xb0];
        return SUCCESS;
    }
    return NOT_FOUND;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Gpu *instance, Gpu **to) {
    if (!instance->instance) return INVALID_ARGUMENT;
    *to = &gpus[instance->index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(Gpu *gpu, char *to, unsigned size) {
    char uuid[48];
    const char *kind = gpu->instance ? "MIG" : "GPU";
    unsigned start = ((gpu->instance ? 0xb0u : 0xa0u) + (unsigned)gpu->index) << 24;
    snprintf(uuid, sizeof uuid, "%s-%08x-0000-4000-8000-000000000000", kind, start);
    return give(uuid, to, size);
}

int nvmlDeviceGetName(Gpu *gpu, char *to, unsigned size) {
    char name[64];
    const char *set = getenv("FAKE_NVML_NAME");
    if (set) snprintf(name, sizeof name, "%s", set);
    else snprintf(name, sizeof name, "Simulated GPU %g W", gpu->power_w);
    return give(name, to, size);
}

int nvmlDeviceGetCudaComputeCapability(Gpu *gpu, int *major, int *minor) {
    const char *chip = getenv("FAKE_NVML_CHIP");
    (void)gpu;
    return sscanf(chip ? chip : "8.6", "%d.%d", major, minor) == 2 ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetArchitecture(Gpu *gpu, unsigned *to) {
    int major = 0, minor = 0;
    if (nvmlDeviceGetCudaComputeCapability(gpu, &major, &minor) != SUCCESS) return NOT_SUPPORTED;
    *to = major == 3 ? 2 : major == 5 ? 3 : major == 6 ? 4 : major == 7 ? (minor == 5 ? 6 : 5) :
          major == 8 ? (minor == 9 ? 8 : 7) : major == 9 ? 9 : major <= 12 ? 10 : 0xffffffff;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Gpu *gpu, unsigned *now, unsigned *next) {
    *now = *next = (unsigned)has("mig", gpu);
    return SUCCESS;
}

static int limit_mw(int which, unsigned *to) {
    double limits_w[2];
    const char *set = getenv("FAKE_NVML_LIMIT_W");
    if (!set || sscanf(set, "%lf,%lf", &limits_w[0], &limits_w[1]) != 2) return NOT_SUPPORTED;
    *to = (unsigned)(limits_w[which] * 1e3);
    return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(Gpu *gpu, unsigned *to_mw) {
    (void)gpu;
    return limit_mw(0, to_mw);
}

int nvmlDeviceGetPowerManagementLimitConstraints(Gpu *gpu, unsigned *least_mw, unsigned *most_mw) {
    (void)gpu;
    *least_mw = 0;
    return limit_mw(1, most_mw);
}

int nvmlDeviceGetTotalEnergyConsumption(Gpu *gpu, unsigned long long *to_mj) {
    int result = answer(gpu);
    double now_s, since_s = 0;
    int64_t now_ns = since_origin_ns();
    if (result != SUCCESS) return result;
    if (has("no-counter", gpu)) return NOT_SUPPORTED;
    if (has("busy", gpu)) return TIMEOUT;
    now_s = (double)(now_ns - now_ns % UPDATE_NS) / 1e9;
    struck("reset", gpu->index, now_s, &since_s);
    *to_mj = (unsigned long long)((energy_j(gpu, now_s) - energy_j(gpu, since_s)) * 1e3);
    return SUCCESS;
}

static double shown_w(const Gpu *gpu) {
    double now_s = since_origin_ns() / 1e9;
    if (has("zero", gpu)) return 0;
    if (gauge_period_s <= 0) return power_w(gpu, now_s);
    return mean_w(gpu, floor(now_s / gauge_period_s + 1e-9) * gauge_period_s, gauge_window_s);
}

int nvmlDeviceGetPowerUsage(Gpu *gpu, unsigned *to_mw) {
    int result = answer(gpu);
    if (result != SUCCESS) return result;
    if (has("no-power", gpu)) return NOT_SUPPORTED;
    *to_mw = (unsigned)(shown_w(gpu) * 1e3);
    return SUCCESS;
}

static int field_w(const Gpu *gpu, const Field *field, double *to_w) {
    const char *set = getenv(field->scope == SCOPE_MEMORY ? "FAKE_NVML_MEMORY_W" : "FAKE_NVML_MODULE_W");
    if (field->id != POWER_INSTANT && field->id != POWER_AVERAGE) return INVALID_ARGUMENT;
    if (field->id == POWER_INSTANT && has("no-instant", gpu)) return NOT_SUPPORTED;
    if (field->scope == SCOPE_GPU || has("same", gpu)) {
        if (has("no-power", gpu)) return NOT_SUPPORTED;
        *to_w = field->id == POWER_INSTANT ? shown_w(gpu) : mean_w(gpu, since_origin_ns() / 1e9, 1);
        return SUCCESS;
    }
    if (!set) return NOT_SUPPORTED;
    /* Like real boards: of the memory only the average is told. */
    if (field->scope == SCOPE_MEMORY && field->id == POWER_INSTANT) return NOT_SUPPORTED;
    *to_w = strtod(set, NULL);
    return SUCCESS;
}

int nvmlDeviceGetFieldValues(Gpu *gpu, int fields, Field *field) {
    int result = answer(gpu);
    if (result != SUCCESS) return result;
    if (has("no-fields", gpu)) return NOT_SUPPORTED;
    for (int i = 0; i < fields; i++) {
        double watts = 0;
        field[i].result = field_w(gpu, &field[i], &watts);
        field[i].type = 1; /* unsigned int */
        field[i].value = (unsigned)(watts * 1e3);
    }
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(Gpu *gpu, unsigned *to) {
    int result = answer(gpu);
    const char *set = getenv("FAKE_NVML_BUSY_PERCENT");
    if (result != SUCCESS) return result;
    if (!set) return NOT_SUPPORTED;
    to[0] = to[1] = (unsigned)atoi(set);
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(Gpu *gpu, int clock, unsigned *mhz) {
    int result = answer(gpu);
    const char *set = getenv("FAKE_NVML_CLOCK_MHZ");
    (void)clock;
    if (result != SUCCESS) return result;
    if (!set) return NOT_SUPPORTED;
    *mhz = (unsigned)atoi(set);
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksEventReasons(Gpu *gpu, unsigned long long *reasons) {
    int result = answer(gpu);
    const char *set = getenv("FAKE_NVML_CLOCK_REASONS");
    if (result != SUCCESS) return result;
    if (!set) return NOT_SUPPORTED;
    *reasons = strtoull(set, NULL, 0);
    return SUCCESS;
}

int nvmlDeviceGetProcessUtilization(Gpu *gpu, Process *to, unsigned *size, unsigned long long since_us) {
    Process found[MOST_PROCESSES];
    unsigned many = 0, pid, sm;
    int index, used = 0, result = state(gpu);
    double at_s;
    const char *rest = getenv("FAKE_NVML_PROCESSES");
    if (result != SUCCESS) return result;
    if (has("no-shares", gpu)) return NO_PERMISSION;
    for (; rest && many < MOST_PROCESSES; rest += used) {
        if (sscanf(rest, "%u:%d:%u@%lf%n", &pid, &index, &sm, &at_s, &used) != 4) break;
        if (index == gpu->index && (at_s * 1e6 > (double)since_us || has("stale", gpu)))
            found[many++] = (Process){.pid = pid, .time_us = (uint64_t)(at_s * 1e6), .sm = sm};
    }
    if (!many) return has("no-wait", gpu) ? SUCCESS : NOT_FOUND;
    if (!to || *size < many) {
        *size = many;
        return INSUFFICIENT_SIZE;
    }
    memcpy(to, found, many * sizeof *to);
    *size = many;
    return SUCCESS;
}
