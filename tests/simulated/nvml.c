/* A libnvidia-ml.so.1 with a known truth. Only what Joulemark asks for.
 *
 * GPU i draws P_i(t) = power_i + swing * sin(2 pi t / period) watts, t seconds after the origin; its energy is the
 * integral of that in closed form. The counter shows it in millijoules, renewed every 100 ms; the gauge shows P_i(t)
 * in milliwatts. Time is CLOCK_MONOTONIC until fake_nvml_set_now_ns() sets it.
 *
 * Read from the environment by nvmlInitWithFlags:
 *   FAKE_NVML_POWER_W    watts of each GPU, such as "100,200"; unset: the driver is not loaded; empty: no GPU
 *   FAKE_NVML_SWING_W    watts, 0 without it          FAKE_NVML_PERIOD_S   seconds, 1 without it
 *   FAKE_NVML_ORIGIN_NS  CLOCK_MONOTONIC at which the counters stood at 0, 0 without it
 *   FAKE_NVML_FAULTS     words: "denied" (no permission), "no-counter" (counter not supported),
 *                        "lost=I@S" (GPU I is lost from S seconds on), "lost=I@S-T" (and back at T),
 *                        "reset=I@S" (its counter falls to 0 at S seconds)
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4,
       INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };
enum { MOST_GPUS = 16, UPDATE_NS = 100000000 };

typedef struct { double power_w; int index; } Gpu;

static Gpu gpus[MOST_GPUS];
static unsigned count;
static int initialised;
static double swing_w, period_s;
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
        if (!strncmp(word, kind, strlen(kind)) && which == gpu && from <= now_s && now_s < until) {
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

static int state(const Gpu *gpu) {
    if (!initialised) return UNINITIALIZED;
    return struck("lost", gpu->index, since_origin_ns() / 1e9, NULL) ? GPU_IS_LOST : SUCCESS;
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
    if (!powers) return DRIVER_NOT_LOADED;
    snprintf(faults, sizeof faults, "%s", words ? words : "");
    swing_w = number("FAKE_NVML_SWING_W", 0);
    period_s = number("FAKE_NVML_PERIOD_S", 1);
    origin_ns = origin ? strtoll(origin, NULL, 10) : 0;
    for (count = 0; *powers && count < MOST_GPUS; count++) {
        char *end;
        gpus[count] = (Gpu){strtod(powers, &end), (int)count};
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

int nvmlDeviceGetName(Gpu *gpu, char *to, unsigned size) {
    char name[32];
    snprintf(name, sizeof name, "Simulated GPU %g W", gpu->power_w);
    return give(name, to, size);
}

int nvmlDeviceGetTotalEnergyConsumption(Gpu *gpu, unsigned long long *to_mj) {
    int result = state(gpu);
    double now_s, since_s = 0;
    int64_t now_ns = since_origin_ns();
    if (result != SUCCESS) return result;
    if (struck("no-counter", gpu->index, now_ns / 1e9, NULL)) return NOT_SUPPORTED;
    now_s = (double)(now_ns - now_ns % UPDATE_NS) / 1e9;
    struck("reset", gpu->index, now_s, &since_s);
    *to_mj = (unsigned long long)((energy_j(gpu, now_s) - energy_j(gpu, since_s)) * 1e3);
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(Gpu *gpu, unsigned *to_mw) {
    int result = state(gpu);
    if (result != SUCCESS) return result;
    *to_mw = (unsigned)((gpu->power_w + swing_w * sin(2 * M_PI / period_s * since_origin_ns() / 1e9)) * 1e3);
    return SUCCESS;
}
