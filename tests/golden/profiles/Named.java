import jdk.jfr.*;

/** Events under the names, and with the fields and units, that Datadog's profiler gives them. */
public class Named {
    @Name("datadog.DatadogProfilerConfig") static class Config extends Event {
        @Timespan(Timespan.MILLISECONDS) long cpuInterval = 20;
        @Timespan(Timespan.MILLISECONDS) long wallInterval = 50;
    }
    @Name("datadog.ExecutionSample") static class Cpu extends Event { Thread sampled = Thread.currentThread(); String state = "RUNNABLE"; long weight; }
    @Name("datadog.ObjectSample") static class Alloc extends Event { Class<?> objectClass = String.class; @DataAmount long size; float weight; }
    @Name("datadog.DirectAllocationTotal") static class Direct extends Event { String type = "ALLOCATE_DIRECT"; @DataAmount long allocated; }
    @Name("datadog.HeapLiveObject") static class Live extends Event { @DataAmount long size = 64; float weight = 1; }
    @Name("datadog.HeapUsage") static class Usage extends Event { @DataAmount long size; }
    @Name("datadog.ExceptionSample") static class Thrown extends Event { String type = "java.io.IOException"; }
    @Name("datadog.DeadlockedThread") static class Dead extends Event { long id; }

    public static void main(String[] args) throws Exception {
        new Config().commit();
        for (int i = 0; i < 50; i++) { Cpu it = new Cpu(); it.weight = 1 + i % 3; it.commit(); }
        for (int i = 0; i < 10; i++) { Alloc it = new Alloc(); it.size = 1000 + i; it.weight = 2.5f; it.commit(); }
        for (int i = 0; i < 4; i++) { Direct it = new Direct(); it.allocated = 1 << 20; it.commit(); }
        for (int i = 0; i < 7; i++) new Live().commit();
        for (int i = 0; i < 2; i++) { Usage it = new Usage(); it.size = 33_000_000 + i; it.commit(); }
        for (int i = 0; i < 5; i++) new Thrown().commit();
        for (int i = 0; i < 2; i++) new Dead().commit();
    }
}
