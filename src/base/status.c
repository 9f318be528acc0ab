/* Names and sentences of the status codes, from the one list in isobit/status.h. */
#include <isobit/status.h>

const char *isb_status_name(isb_status status) {
    switch (status) {
#define ISB_STATUS_CASE(name, number, sentence) \
    case name: return #name;
        ISB_STATUS_MAP(ISB_STATUS_CASE)
#undef ISB_STATUS_CASE
    }
    return "ISB_ERR_UNKNOWN";
}

const char *isb_status_sentence(isb_status status) {
    switch (status) {
#define ISB_STATUS_CASE(name, number, sentence) \
    case name: return sentence;
        ISB_STATUS_MAP(ISB_STATUS_CASE)
#undef ISB_STATUS_CASE
    }
    return "unknown status";
}
