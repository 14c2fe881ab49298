/* A load client for HTTP/1.1 on Linux: kept-alive connections with one request in flight each, every answer checked.

   client PORT PATH CONNECTIONS SECONDS BODIES EXPECTED KEY TOLERANCE [RATE]

   BODIES has one JSON body a line; they are sent in turn. EXPECTED has, on the same line, the numbers that its answer
   must hold, apart by spaces: those after each "KEY":, alone or in a list. With KEY "=" the answer must equal the body.
   With RATE, requests fall due evenly at so many a second, and a latency counts from when its request was due.
   Prints one JSON object: requests answered rightly in SECONDS, all that were answered rightly, and what went wrong; shed
   are answers that say by the header funade-fallback that they are the fallback. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 20, MOST_ERRORS = 1000, ANSWER_S = 20 };

typedef struct {
    char *request;
    size_t request_size, body_size;
    double *numbers;
    size_t count;
} Question;

typedef struct {
    int file;
    int busy;
    size_t question, got;
    double since;
    char *answer;
} Connection;

static Question *questions;
static size_t question_count, next_question;
static Connection *connections;
static float *latencies;
static size_t latency_count, latency_room, in_time, errors, wrong, shed;
static char first_error[300], *pattern, *key;
static double tolerance;
static int events, port;

static void die(const char *what) {
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(2);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void note(const char *what, const char *shown) {
    if (!*first_error) snprintf(first_error, sizeof first_error, "%s: %.200s", what, shown);
    for (char *c = first_error; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 32) *c = ' ';
}

static void load(const char *bodies, const char *expected, const char *path) {
    FILE *file = fopen(bodies, "r"), *answers = fopen(expected, "r");
    if (!file || !answers) die("cannot read the bodies or what is expected");
    char *line = NULL, *numbers = NULL;
    size_t line_room = 0, numbers_room = 0, room = 0;
    ssize_t size;
    while ((size = getline(&line, &line_room, file)) > 0) {
        if (line[size - 1] == '\n') size--;
        if (getline(&numbers, &numbers_room, answers) < 0) die("fewer lines expected than bodies");
        if (question_count == room) questions = realloc(questions, (room = room ? 2 * room : 64) * sizeof *questions);
        Question *q = &questions[question_count++];
        q->request = malloc((size_t)size + strlen(path) + 200);
        int head = sprintf(q->request,
                           "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
                           "content-length: %zd\r\n\r\n",
                           path, port, size);
        memcpy(q->request + head, line, (size_t)size);
        q->request_size = (size_t)head + (size_t)size;
        q->body_size = (size_t)size;
        q->numbers = malloc((strlen(numbers) / 2 + 1) * sizeof(double));
        q->count = 0;
        for (char *at = numbers, *end;; at = end) {
            double value = strtod(at, &end);
            if (end == at) break;
            q->numbers[q->count++] = value;
        }
    }
    fclose(file);
    fclose(answers);
    if (!question_count) die("no bodies");
}

static int close_to(double got, double expected) {
    return fabs(got - expected) <= tolerance * fmax(1.0, fabs(expected));
}

/* Whether a body, ended by a zero, holds the numbers expected and no others. */
static int right(const Question *q, const char *body, size_t size) {
    if (!strcmp(key, "="))
        return size == q->body_size && !memcmp(body, q->request + q->request_size - q->body_size, size);
    size_t seen = 0;
    for (const char *at = body; (at = strstr(at, pattern));) {
        at += strlen(pattern);
        at += strspn(at, " ");
        int list = *at == '[';
        do {
            char *end;
            double value = strtod(at + (list && (*at == '[' || *at == ',')), &end);
            if (seen == q->count || !close_to(value, q->numbers[seen])) return 0;
            seen++;
            at = end + strspn(end, " ");
        } while (list && *at == ',');
    }
    return seen == q->count;
}

static void open_one(Connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1;
    c->file = socket(AF_INET, SOCK_STREAM, 0);
    if (c->file < 0 || connect(c->file, (void *)&address, sizeof address)) die("cannot connect");
    setsockopt(c->file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(events, EPOLL_CTL_ADD, c->file, &event)) die("cannot watch");
    c->busy = 0;
}

static void failed(Connection *c, const char *what, const char *shown) {
    errors++;
    note(what, shown);
    close(c->file);
    open_one(c);
}

static void ask(Connection *c, double due) {
    c->question = next_question++ % question_count;
    c->since = due;
    c->got = 0;
    c->busy = 1;
    const Question *q = &questions[c->question];
    /* The file blocks: a body fits the socket's buffer or the server reads it. */
    for (size_t sent = 0; sent < q->request_size;) {
        ssize_t size = send(c->file, q->request + sent, q->request_size - sent, MSG_NOSIGNAL);
        if (size <= 0) {
            failed(c, "send", strerror(errno));
            return;
        }
        sent += (size_t)size;
    }
}

/* Read what came. Gives 1 once the answer is whole. */
static int hear(Connection *c, double until) {
    ssize_t size = recv(c->file, c->answer + c->got, ROOM - 1 - c->got, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return 0;
    if (size <= 0) {
        failed(c, "closed", size ? strerror(errno) : "by the server");
        return 0;
    }
    c->got += (size_t)size;
    c->answer[c->got] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return 0;
    char *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (!length || length > end) {
        failed(c, "answer without content-length", c->answer);
        return 0;
    }
    size_t whole = (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
    if (whole > ROOM - 1) die("answer too long");
    if (c->got < whole) return 0;
    double t = now();
    c->busy = 0;
    *end = 0;
    int fallback = strcasestr(c->answer, "\r\nfunade-fallback:") != NULL;
    *end = '\r';
    if (strncmp(c->answer, "HTTP/1.1 200", 12)) {
        errors++;
        note("status", c->answer);
    } else if (fallback) {
        shed++;
    } else if (!right(&questions[c->question], end + 4, whole - (size_t)(end + 4 - c->answer))) {
        wrong++;
        note("wrong answer", end + 4);
    } else {
        in_time += t <= until;
        if (latency_count == latency_room)
            latencies = realloc(latencies, (latency_room = latency_room ? 2 * latency_room : 65536) * sizeof(float));
        latencies[latency_count++] = (float)(t - c->since);
    }
    return 1;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile_ms(double share) {
    return latency_count ? 1e3 * (double)latencies[(size_t)(share * (double)(latency_count - 1))] : 0;
}

int main(int count, char **given) {
    if (count < 9) {
        fprintf(stderr, "client PORT PATH CONNECTIONS SECONDS BODIES EXPECTED KEY TOLERANCE [RATE]\n");
        return 2;
    }
    port = atoi(given[1]);
    size_t most = strtoul(given[3], NULL, 10);
    double seconds = atof(given[4]), rate = count > 9 ? atof(given[9]) : 0;
    key = given[7];
    tolerance = atof(given[8]);
    pattern = malloc(strlen(key) + 4);
    sprintf(pattern, "\"%s\":", key);
    load(given[5], given[6], given[2]);
    events = epoll_create1(0);
    connections = calloc(most, sizeof *connections);
    for (size_t i = 0; i < most; i++) {
        connections[i].answer = malloc(ROOM);
        open_one(&connections[i]);
    }
    struct epoll_event ready[256];
    double begun = now(), until = begun + seconds;
    size_t due = 0;
    for (double t = begun;; t = now()) {
        size_t busy = 0;
        struct timespec wait = {.tv_nsec = 100000000};
        for (size_t i = 0; i < most; i++) {
            Connection *c = &connections[i];
            if (!c->busy && t < until) {
                double when = rate > 0 ? begun + (double)due / rate : t;
                if (when <= t) {
                    due++;
                    ask(c, when);
                } else if (when - t < 0.1) {
                    wait.tv_nsec = (long)((when - t) * 1e9);
                }
            }
            busy += (size_t)c->busy;
        }
        if (t >= until && !busy) break;
        if (errors > MOST_ERRORS || t > until + ANSWER_S) break;
        int n = epoll_pwait2(events, ready, 256, &wait, NULL);
        for (int i = 0; i < n; i++) {
            Connection *c = ready[i].data.ptr;
            if (!c->busy) failed(c, "not asked", "closed or more than one answer");
            else if (hear(c, until) && rate <= 0 && now() < until) ask(c, now());
        }
    }
    qsort(latencies, latency_count, sizeof(float), by_size);
    printf("{\"requests\": %zu, \"answered\": %zu, \"wall_s\": %.6f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, "
           "\"errors\": %zu, \"wrong\": %zu, \"shed\": %zu, \"first_error\": \"%s\"}\n",
           in_time, latency_count, seconds, quantile_ms(0.5), quantile_ms(0.99), quantile_ms(1), errors, wrong, shed,
           first_error);
    return 0;
}
