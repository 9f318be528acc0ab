/* Status codes: names, sentences, unknown numbers, and numbers that are unique and negative. */
#include "check.h"

int main(int argc, char **argv) {
    check_begin(argc, argv);
    CHECK(strcmp(isb_status_name(ISB_OK), "ISB_OK") == 0);
    CHECK(strcmp(isb_status_name(ISB_ERR_CORRUPT), "ISB_ERR_CORRUPT") == 0);
    CHECK(strcmp(isb_status_sentence(ISB_ERR_CORRUPT), "data is corrupt") == 0);
    CHECK(strcmp(isb_status_name((isb_status)-999), "ISB_ERR_UNKNOWN") == 0);
    CHECK(strcmp(isb_status_sentence((isb_status)1), "unknown status") == 0);

    static const int numbers[] = {
#define NUMBER(name, number, sentence) number,
        ISB_STATUS_MAP(NUMBER)
#undef NUMBER
    };
    const size_t n = sizeof numbers / sizeof numbers[0];
    CHECK_EQ(numbers[0], 0);
    for (size_t i = 1; i < n; ++i) CHECK(numbers[i] < numbers[i - 1]);
    for (size_t i = 0; i < n; ++i) CHECK(strlen(isb_status_sentence((isb_status)numbers[i])) > 5);
    return check_end();
}
