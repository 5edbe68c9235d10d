/* The load: members of rooms on sockets that are joined already; sends messages, counts who got them.
 *
 * It is given what to do on standard input, a word and its values in each line:
 *
 *     flight 10            keep so many messages under way in each room, or
 *     pace 50              send so many a second in all, by a timetable
 *     warm 0.5, time 3     seconds before measuring, and measuring
 *     drain 10             seconds to wait for the last deliveries afterwards
 *     base 0               the first message's number
 *     echo 1               1: a sender gets its own message back, and that counts
 *     quick 0              1: acknowledge at once, for a server that leaves Nagle's algorithm on: otherwise it
 *                          is the clock of delayed acknowledgements (40 ms) that is measured
 *     pid 123              whose processor time is measured (several lines: their sum)
 *     room HEX             what a message looks like in this room; 00000000 in it becomes the number
 *     member FD ROOM       a socket, and its room's place in the list of rooms
 *     go                   do it, print what was found as JSON, and listen for the next load
 *
 * Compiled with TLS, its sockets are its own, since what TLS knows cannot be handed to another process:
 *
 *     dial HOST PORT GREETING   connect, and print the socket's number; with GREETING 1 the server says a line
 *                               before TLS begins
 *     say FD HEX                send this
 *     hear FD                   print what comes, in hex
 *
 * A message is known by its text: "|" and eight digits. Messages are sent by all members in turn. One is done
 * when every member of the room has it (as many as were sent before it, in the order of their coming: servers
 * without one order for all are not punished). Every delivery of every member is timed: in flight from the
 * send, paced from the moment the timetable says, whether or not it could be sent then. In flight, measuring
 * begins and ends when a message is done, and goes on until all that are under way have been done twice: a slow
 * server delivers in waves, and a part of a wave would tell nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
#endif

#define MARK '|'
#define DIGITS 8
#define MOST_MESSAGES (16u << 20)
#define SPREAD (1u << 20) /* messages that members of a room may be apart */
#define BUCKETS (64 * 60)
#define BUFFER (256 << 10)

typedef struct {
    int fd, room;
    uint64_t has;       /* messages, its own among them even without echo */
    uint64_t sum;       /* of their numbers: nothing twice, nothing missing */
    char carry[DIGITS]; /* the beginning of a mark at the end of the last read */
    int carried;
} Member;

typedef struct {
    char *text;
    size_t size;
    size_t digits[4];
    int places;
    int *members, size_members, next;
    uint64_t sent, sum, done;
    uint32_t *at; /* how many members have n messages, at n % SPREAD */
} Room;

static Member *members;
static Room *rooms;
static int member_count, room_count;
static int64_t *due; /* when a message was sent, or should have been */
static uint64_t base, sent, done, in_window, window_sent;
static int is_measuring;
static uint64_t counts[BUCKETS], timed;
static int64_t begin_window, end_window, most;
static int echo = 1, quick, pids[8], pid_count;
static char buffer[BUFFER + DIGITS];
#ifdef TLS
#define MOST_SOCKETS 8192
static SSL *secure[MOST_SOCKETS];
#endif

static void fail(const char *why) {
    printf("{\"error\": \"%s\"}\n", why);
    fflush(stdout);
    exit(1);
}

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* What a socket takes or has just now: as send() and recv() with MSG_DONTWAIT. */
#ifdef TLS
static ssize_t answer(SSL *tls, int result) {
    if (result > 0) return result;
    int why = SSL_get_error(tls, result);
    if (why == SSL_ERROR_ZERO_RETURN) return 0;
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return -1;
}

static ssize_t give(int fd, const char *data, size_t size) {
    return answer(secure[fd], SSL_write(secure[fd], data, (int)size));
}

static ssize_t take(int fd, char *data, size_t size) {
    ssize_t all = 0;
    while ((size_t)all < size) { /* record by record: what TLS has read already wakes nobody */
        ssize_t got = answer(secure[fd], SSL_read(secure[fd], data + all, (int)(size - (size_t)all)));
        if (got <= 0) return all ? all : got;
        all += got;
    }
    return all;
}

static int dial(const char *host, int port, int greeting) {
    static SSL_CTX *context;
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &there.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || fd >= MOST_SOCKETS || connect(fd, (struct sockaddr *)&there, sizeof there)) fail("no connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (char byte = 0; greeting && byte != '\n';)
        if (recv(fd, &byte, 1, 0) != 1) fail("no greeting");
    secure[fd] = SSL_new(context);
    SSL_set_fd(secure[fd], fd);
    if (SSL_connect(secure[fd]) != 1) fail("no TLS");
    return fd;
}

static int is_order(const char *line, char *text) {
    int fd, port, greeting;
    char host[64];
    if (sscanf(line, "dial %63s %d %d", host, &port, &greeting) == 3) {
        printf("%d\n", dial(host, port, greeting));
    } else if (sscanf(line, "say %d %131071s", &fd, text) == 2) {
        size_t size = strlen(text) / 2;
        for (size_t each = 0; each < size; each++) {
            unsigned byte;
            sscanf(text + 2 * each, "%2x", &byte);
            buffer[each] = (char)byte;
        }
        if (SSL_write(secure[fd], buffer, (int)size) != (int)size) fail("a member was thrown out");
    } else if (sscanf(line, "hear %d", &fd) == 1) {
        int got = SSL_read(secure[fd], buffer, BUFFER);
        if (got <= 0) fail("a member was thrown out while joining");
        for (int each = 0; each < got; each++) printf("%02x", (unsigned char)buffer[each]);
        printf("\n");
    } else {
        return 0;
    }
    fflush(stdout);
    return 1;
}
#else
static ssize_t give(int fd, const char *data, size_t size) {
    return send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t take(int fd, char *data, size_t size) { return recv(fd, data, size, MSG_DONTWAIT); }

static int is_order(const char *line, char *text) {
    (void)line, (void)text;
    return 0;
}
#endif

/* Buckets as wide as 1/64 of their value. */
static int bucket(uint64_t value) {
    if (value < 128) return (int)value;
    int shift = 57 - __builtin_clzll(value);
    int found = shift * 64 + (int)(value >> shift);
    return found < BUCKETS ? found : BUCKETS - 1;
}

static double percentile(double part) {
    uint64_t wanted = (uint64_t)(part * (double)timed), before = 0;
    for (int each = 0; each < BUCKETS; each++) {
        before += counts[each];
        if (before > wanted) {
            if (each < 128) return each;
            int shift = each / 64 - 1;
            return (double)((uint64_t)(each - shift * 64) << shift) + (double)(1ull << shift) / 2;
        }
    }
    return (double)most;
}

static double cpu_of_servers(void) {
    double sum = 0;
    for (int each = 0; each < pid_count; each++) {
        char path[64], line[1024];
        snprintf(path, sizeof path, "/proc/%d/stat", pids[each]);
        FILE *file = fopen(path, "r");
        if (!file) fail("the server has ended");
        size_t got = fread(line, 1, sizeof line - 1, file);
        fclose(file);
        line[got] = 0;
        unsigned long user, system;
        char *rest = strrchr(line, ')');
        if (!rest || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
            fail("unreadable /proc");
        sum += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    }
    return sum;
}

static double cpu_of_self(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void progress(Room *room, Member *member, uint64_t count) {
    if (!count) return;
    room->at[member->has % SPREAD]--;
    member->has += count;
    if (member->has > room->sent) fail("a member got more than was sent");
    if (member->has - room->done >= SPREAD) fail("members are too far apart");
    room->at[member->has % SPREAD]++;
    for (; !room->at[room->done % SPREAD]; room->done++) done++;
}

static void send_one(Room *room, int64_t at) {
    Member *member = &members[room->members[room->next]];
    room->next = (room->next + 1) % room->size_members;
    if (sent >= MOST_MESSAGES) fail("more messages than there is room for");
    uint64_t number = base + sent;
    char digits[DIGITS + 1];
    snprintf(digits, sizeof digits, "%08u", (unsigned)(number % 100000000u));
    for (int each = 0; each < room->places; each++) memcpy(room->text + room->digits[each], digits, DIGITS);
    due[sent++] = at;
    if (at >= begin_window && at < end_window) window_sent++;
    room->sent++;
    room->sum += number;
    if (!echo) {
        member->sum += number;
        progress(room, member, 1);
    }
    for (size_t gone = 0; gone < room->size;) {
        ssize_t wrote = give(member->fd, room->text + gone, room->size - gone);
        if (wrote > 0) gone += (size_t)wrote;
        else if (errno != EAGAIN && errno != EINTR) fail("a member was thrown out while it sent");
    }
}

static void receive(Member *member) {
    memcpy(buffer, member->carry, (size_t)member->carried);
    ssize_t got = take(member->fd, buffer + member->carried, BUFFER);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) fail("a member was thrown out");
    if (quick) setsockopt(member->fd, IPPROTO_TCP, TCP_QUICKACK, &quick, sizeof quick);
    int64_t at = now();
    char *place = buffer, *end = buffer + member->carried + got;
    member->carried = 0;
    uint64_t count = 0;
    while ((place = memchr(place, MARK, (size_t)(end - place)))) {
        if (end - place <= DIGITS) {
            member->carried = (int)(end - place);
            memcpy(member->carry, place, (size_t)member->carried);
            break;
        }
        uint64_t number = 0;
        int digit = 1;
        for (; digit <= DIGITS && place[digit] >= '0' && place[digit] <= '9'; digit++)
            number = number * 10 + (uint64_t)(place[digit] - '0');
        place += digit;
        if (digit <= DIGITS || number < base || number - base >= sent) continue;
        count++;
        member->sum += number;
        int64_t when = due[number - base];
        if (when >= begin_window && when < end_window) {
            counts[bucket((uint64_t)(at - when))]++;
            timed++;
            if (at - when > most) most = at - when;
        }
    }
    if (is_measuring) in_window += count;
    progress(&rooms[member->room], member, count);
    if (got == BUFFER) receive(member); /* with TLS, what is left may have been read already */
}

static Room *read_room(const char *hex) {
    rooms = realloc(rooms, sizeof *rooms * (size_t)(room_count + 1));
    Room *room = &rooms[room_count++];
    memset(room, 0, sizeof *room);
    room->size = strlen(hex) / 2;
    room->text = malloc(room->size + 1);
    for (size_t each = 0; each < room->size; each++) {
        unsigned byte;
        sscanf(hex + 2 * each, "%2x", &byte);
        room->text[each] = (char)byte;
    }
    for (size_t each = 0; each + DIGITS <= room->size && room->places < 4; each++)
        if (!memcmp(room->text + each, "00000000", DIGITS)) {
            room->digits[room->places++] = each;
            each += DIGITS - 1;
        }
    room->at = calloc(SPREAD, sizeof *room->at);
    return room;
}

static void read_member(int fd, int room) {
    if (room < 0 || room >= room_count) fail("no such room");
    members = realloc(members, sizeof *members * (size_t)(member_count + 1));
    members[member_count] = (Member){.fd = fd, .room = room};
    Room *its = &rooms[room];
    its->members = realloc(its->members, sizeof(int) * (size_t)(its->size_members + 1));
    its->members[its->size_members++] = member_count++;
    its->at[0]++;
}

static int is_whole(void) {
    for (int each = 0; each < member_count; each++) {
        Room *room = &rooms[members[each].room];
        if (members[each].has != room->sent || members[each].sum != room->sum) return 0;
    }
    return 1;
}

/* One load, from its words to what was found; 0 when there are no more words. */
static int run(void) {
    double warm = 0.5, length = 3, drain = 10, pace = 0;
    int flight = 0, fd, number;
    static char line[1 << 18], text[1 << 17];
    for (;;) {
        if (!fgets(line, sizeof line, stdin)) return 0;
        if (!strncmp(line, "go", 2)) break;
        if (is_order(line, text)) continue;
        if (sscanf(line, "flight %d", &flight) == 1 || sscanf(line, "pace %lf", &pace) == 1 ||
            sscanf(line, "warm %lf", &warm) == 1 || sscanf(line, "time %lf", &length) == 1 ||
            sscanf(line, "drain %lf", &drain) == 1 || sscanf(line, "echo %d", &echo) == 1 ||
            sscanf(line, "quick %d", &quick) == 1 || sscanf(line, "base %lu", &base) == 1)
            continue;
        if (sscanf(line, "pid %d", &number) == 1 && pid_count < 8) pids[pid_count++] = number;
        else if (sscanf(line, "room %131071s", text) == 1) read_room(text);
        else if (sscanf(line, "member %d %d", &fd, &number) == 2) read_member(fd, number);
        else fail("not understood");
    }
    if (!due) due = malloc(sizeof *due * MOST_MESSAGES);
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, events[1024];
    for (int each = 0; each < member_count; each++) {
        event.data.u32 = (uint32_t)each;
        if (epoll_ctl(poll, EPOLL_CTL_ADD, members[each].fd, &event)) fail("epoll");
#ifdef TLS
        fcntl(members[each].fd, F_SETFL, O_NONBLOCK); /* not where the socket is another process's, too */
#endif
    }
    int64_t start = now(), at = start;
    int64_t begin = start + (int64_t)(warm * 1e9), end = begin + (int64_t)(length * 1e9);
    int64_t patience = (int64_t)(drain * 1e9), step = pace > 0 ? (int64_t)(1e9 / pace) : 0;
    begin_window = pace > 0 ? begin : INT64_MAX;
    end_window = pace > 0 ? end : INT64_MAX;
    uint64_t planned = 0, done_before = 0, done_at_begin = 0;
    double cpu = 0, own = 0, cpu_end = 0, own_end = 0;
    int64_t opened = begin, closed = end;
    int phase = 0, turn = 0;
    for (;;) {
        at = now();
        int is_moment = pace > 0 || done != done_before;
        done_before = done;
        if (phase == 0 && at >= begin && (is_moment || at >= begin + patience)) {
            phase = is_measuring = 1;
            opened = at;
            if (pace <= 0) begin_window = at;
            if (pace <= 0) end = at + (int64_t)(length * 1e9);
            done_at_begin = done;
            cpu = cpu_of_servers();
            own = cpu_of_self();
        }
        int is_enough = pace > 0 || done - done_at_begin >= 2 * (uint64_t)(flight * room_count);
        if (phase == 1 && at >= end && ((is_moment && is_enough) || at >= end + patience)) {
            phase = 2;
            is_measuring = 0;
            closed = end = at;
            if (pace <= 0) end_window = at;
            cpu_end = cpu_of_servers();
            own_end = cpu_of_self();
        }
        if (phase == 2) {
            int open = 0;
            for (int each = 0; each < room_count; each++) open |= rooms[each].done < rooms[each].sent;
            if (!open || at >= end + patience) break;
        }
        int64_t next = phase == 0 ? begin : phase == 1 ? end : end + patience;
        if (next <= at) next = at + 10000000; /* it waits for a message to be done */
        if (phase < 2 && pace > 0) {
            while (start + (int64_t)planned * step <= at && start + (int64_t)planned * step < end) {
                send_one(&rooms[turn], start + (int64_t)planned++ * step);
                turn = (turn + 1) % room_count;
            }
            if (start + (int64_t)planned * step < next) next = start + (int64_t)planned * step;
        } else if (phase < 2) {
            for (int each = 0; each < room_count; each++)
                while (rooms[each].sent - rooms[each].done < (uint64_t)flight) send_one(&rooms[each], now());
        }
        int64_t left = next - now();
        struct timespec wait = {.tv_sec = left / 1000000000LL, .tv_nsec = left % 1000000000LL};
        if (left < 0) wait = (struct timespec){0, 0};
        int ready = epoll_pwait2(poll, events, 1024, &wait, NULL);
        for (int each = 0; each < ready; each++) receive(&members[events[each].data.u32]);
    }
    /* What never came counts as long as it was waited for. All rooms are of one size. */
    uint64_t expected = (uint64_t)(rooms[0].size_members - !echo) * window_sent, missing = 0;
    if (expected > timed) {
        missing = expected - timed;
        most = at - begin_window;
        counts[bucket((uint64_t)(at - end_window + (end_window - begin_window) / 2))] += missing;
        timed += missing;
    }
    double seconds = (double)(closed - opened) / 1e9;
    printf("{\"seconds\": %.3f, \"messages\": %lu, \"deliveries\": %lu, \"cpu\": %.3f, \"own_cpu\": %.3f, "
           "\"p50\": %.6f, \"p99\": %.6f, \"most\": %.6f, \"missing\": %lu, \"whole\": %s, \"next\": %lu}\n",
           seconds, window_sent, in_window, cpu_end - cpu, own_end - own, percentile(0.5) / 1e9,
           percentile(0.99) / 1e9, (double)most / 1e9, missing, is_whole() ? "true" : "false", base + sent);
    fflush(stdout);
    /* The next load begins from nothing; only the sockets stay. */
    close(poll);
    for (int each = 0; each < room_count; each++) {
        free(rooms[each].text);
        free(rooms[each].members);
        free(rooms[each].at);
    }
    member_count = room_count = pid_count = is_measuring = 0;
    sent = done = in_window = window_sent = timed = 0;
    most = 0;
    memset(counts, 0, sizeof counts);
    return 1;
}

int main(void) {
    while (run()) continue;
    return 0;
}
