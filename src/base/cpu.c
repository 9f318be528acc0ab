/* CPU features as tiers.
 *
 * A feature counts only when three parties agree: the CPU has it (CPUID), the operating system
 * saves its registers (XGETBV), and, for the AMX tiles, Linux has granted this process their 8 KiB
 * of state (arch_prctl).  Bits: Intel SDM vol. 2A, CPUID, table 3-8; vol. 1, section 13.3; Linux
 * Documentation/arch/x86/xstate.rst. */
#include "base/cpu.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#endif

typedef struct cpu_facts {
    isb__cpu_tier tier;
    bool bf16_dot_is_fast, has_vnni;
    char model_name[64];
} cpu_facts;

/* The one mutable global of the library: written once, under pthread_once. */
static cpu_facts facts;
static pthread_once_t facts_once = PTHREAD_ONCE_INIT;

static const char *const tier_names[] = {"ref", "avx2", "avx512", "avx512x", "amx"};

#if defined(__x86_64__)

typedef struct registers {
    uint32_t eax, ebx, ecx, edx;
} registers;

static registers cpuid(uint32_t leaf, uint32_t subleaf) {
    registers r = {0};
    if (!__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx)) memset(&r, 0, sizeof r);
    return r;
}

static bool all(uint64_t word, uint64_t bits) { return (word & bits) == bits; }

#define BIT(n) (UINT64_C(1) << (n))
#define AVX512_VNNI BIT(11) /* leaf 7, ecx */

__attribute__((target("xsave"))) static uint64_t enabled_state(void) { return _xgetbv(0); }

static bool amx_permitted(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static isb__cpu_tier detect_tier(void) {
    const registers basic = cpuid(1, 0), extended = cpuid(7, 0), more = cpuid(7, 1);
    const uint64_t fma = BIT(12), osxsave = BIT(27), avx = BIT(28), f16c = BIT(29);
    if (!all(basic.ecx, fma | osxsave | avx | f16c)) return ISB__CPU_REF;
    const uint64_t state = enabled_state();
    const uint64_t ymm_state = BIT(1) | BIT(2), zmm_state = ymm_state | BIT(5) | BIT(6) | BIT(7);
    const uint64_t tile_state = BIT(17) | BIT(18);

    const uint64_t avx2 = BIT(5), bmi2 = BIT(8);
    if (!all(extended.ebx, avx2 | bmi2) || !all(state, ymm_state)) return ISB__CPU_REF;
    const uint64_t avx512_f = BIT(16), avx512_dq = BIT(17), avx512_bw = BIT(30),
                   avx512_vl = BIT(31);
    if (!all(extended.ebx, avx512_f | avx512_dq | avx512_bw | avx512_vl) ||
        !all(state, zmm_state)) {
        return ISB__CPU_AVX2;
    }
    const uint64_t avx512_bf16 = BIT(5);
    if (!all(extended.ecx, AVX512_VNNI) || !all(more.eax, avx512_bf16)) return ISB__CPU_AVX512;
    const uint64_t amx_bf16 = BIT(22), amx_tile = BIT(24), amx_int8 = BIT(25);
    if (!all(extended.edx, amx_bf16 | amx_tile | amx_int8) || !all(state, tile_state) ||
        !amx_permitted()) {
        return ISB__CPU_AVX512X;
    }
    return ISB__CPU_AMX;
}

static bool detect_vnni(isb__cpu_tier tier) {
    return tier >= ISB__CPU_AVX512 && all(cpuid(7, 0).ecx, AVX512_VNNI);
}

/* Present is not worth using: Intel runs vdpbf16ps at half the rate of a float32 FMA, AMD since Zen
 * 4 (family 19h) at the full rate, which is twice the multiply-adds. */
static bool detect_fast_bf16_dot(isb__cpu_tier tier) {
    const registers vendor = cpuid(0, 0), version = cpuid(1, 0);
    uint32_t family = (version.eax >> 8) & 15;
    if (family == 15) family += (version.eax >> 20) & 255;
    /* AuthenticAMD */
    const bool amd =
        vendor.ebx == 0x68747541 && vendor.edx == 0x69746e65 && vendor.ecx == 0x444d4163;
    return amd && family >= 0x19 && tier >= ISB__CPU_AVX512X;
}

static void detect_model_name(char name[64]) {
    char brand[49] = {0};
    if (cpuid(0x80000000, 0).eax < 0x80000004) return;
    for (uint32_t i = 0; i < 3; ++i) {
        const registers part = cpuid(0x80000002 + i, 0);
        memcpy(brand + 16 * i, &part, 16);
    }
    const char *first = brand + strspn(brand, " ");
    size_t length = strlen(first);
    while (length > 0 && first[length - 1] == ' ') --length;
    memcpy(name, first, length);
    name[length] = '\0';
}

#else

static isb__cpu_tier detect_tier(void) { return ISB__CPU_REF; }
static bool detect_fast_bf16_dot(isb__cpu_tier tier) { return tier > ISB__CPU_AMX; }
static bool detect_vnni(isb__cpu_tier tier) { return tier > ISB__CPU_AMX; }
static void detect_model_name(char name[64]) { name[0] = '\0'; }

#endif

static void detect(void) {
    facts.tier = detect_tier();
    facts.bf16_dot_is_fast = detect_fast_bf16_dot(facts.tier);
    facts.has_vnni = detect_vnni(facts.tier);
    detect_model_name(facts.model_name);
    if (facts.model_name[0] == '\0') strcpy(facts.model_name, "unknown");
}

static const cpu_facts *cached(void) {
    pthread_once(&facts_once, detect);
    return &facts;
}

isb__cpu_tier isb__cpu_detect(void) { return cached()->tier; }

bool isb__cpu_bf16_dot_is_fast(void) { return cached()->bf16_dot_is_fast; }

bool isb__cpu_has_vnni(void) { return cached()->has_vnni; }

const char *isb__cpu_model_name(void) { return cached()->model_name; }

const char *isb__cpu_tier_name(isb__cpu_tier tier) { return tier_names[tier]; }

bool isb__cpu_tier_parse(const char *name, isb__cpu_tier *tier) {
    for (int i = ISB__CPU_REF; i <= ISB__CPU_AMX; ++i) {
        if (strcmp(name, tier_names[i]) == 0) {
            *tier = (isb__cpu_tier)i;
            return true;
        }
    }
    return false;
}
