/* See attempt_number.h. */
#include "export/attempt_number.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

int64_t attempt_number(int64_t job_id, int64_t token)
{
    char text[100];
    unsigned char sum[EVP_MAX_MD_SIZE] = {0};
    uint64_t number;
    int len = snprintf(text, sizeof text, "joblog export attempt %lld %lld", (long long)job_id, (long long)token);
    EVP_Digest(text, (size_t)len, sum, NULL, EVP_sha256(), NULL);
    memcpy(&number, sum, sizeof number);
    return (int64_t)((number & INT64_MAX) | 1);
}
